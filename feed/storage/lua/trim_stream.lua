-- Trim a partition's stream, unless a later term of the leading worker has trimmed it.
-- KEYS: 1 stream; 2 fence. ARGV: 1 term; 2 oldest id to keep
-- Returns how many records went, or nothing if the fence refuses.
local fence = redis.call('GET', KEYS[2])
if fence and tonumber(fence) > tonumber(ARGV[1]) then return false end
redis.call('SET', KEYS[2], ARGV[1])
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
