-- Replace the pins and keep an audit entry, if the pins are as expected; return whether they were.
-- KEYS: 1 pins; 2 audit
-- ARGV: 1 SHA-1 of the expected bytes ('' none); 2 pins (JSON); 3 audit entry (JSON);
--   4 audit entries kept
local present = redis.call('GET', KEYS[1])
if (present and redis.sha1hex(present) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[3])
redis.call('LTRIM', KEYS[2], 0, ARGV[4] - 1)
return 1
