-- Write a field of a hash if another hash has that field.
-- KEYS: 1 the hash that must have it, 2 the hash to write. ARGV: 1 field, 2 value
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
