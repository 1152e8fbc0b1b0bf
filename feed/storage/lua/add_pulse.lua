-- Add counts to one slot of the pulse, and keep the highest value of each gauge.
-- KEYS: 1 slot. ARGV: 1 TTL s, 2 how many counts, then name and amount of each count, then
-- name and value of each gauge
local last_count = 2 + 2 * tonumber(ARGV[2])
for i = 3, last_count, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = last_count + 1, #ARGV, 2 do
  local before = redis.call('HGET', KEYS[1], ARGV[i])
  if not before or tonumber(before) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
