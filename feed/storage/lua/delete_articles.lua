-- Remove articles, logging each that was there. Returns how many there were.
-- KEYS: 1 articles; 2 meta; 3 age; 4 change log; 5 erased; 6 unencoded; 7 audit; 8 earlier
-- ARGV: 1 bound of the change log; 2 when they were erased for good (epoch s), or '';
-- 3 audit entries kept; 4 audit entry (JSON) or ''; then the ids
local removed = 0
for i = 5, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
  redis.call('ZREM', KEYS[3], ARGV[i])
  redis.call('SREM', KEYS[6], ARGV[i])
  redis.call('HDEL', KEYS[8], ARGV[i])
  if redis.call('HDEL', KEYS[2], ARGV[i]) == 1 then
    removed = removed + 1
    redis.call('XADD', KEYS[4], '*', 'a', ARGV[i])
    if ARGV[2] ~= '' then
      redis.call('ZADD', KEYS[5], ARGV[2], ARGV[i])
    end
  end
end
redis.call('XTRIM', KEYS[4], 'MAXLEN', ARGV[1])
if removed > 0 and ARGV[4] ~= '' then
  redis.call('LPUSH', KEYS[7], ARGV[4])
  redis.call('LTRIM', KEYS[7], 0, ARGV[3] - 1)
end
return removed
