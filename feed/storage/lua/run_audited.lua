-- Run one command; if it replies 1, it has changed something: keep an audit entry with it.
-- KEYS: 1 the key of the command; 2 audit
-- ARGV: 1 audit entry (JSON); 2 audit entries kept; 3 name of the command; then its arguments
local changed = redis.call(ARGV[3], KEYS[1], unpack(ARGV, 4))
if changed == 1 then
  redis.call('LPUSH', KEYS[2], ARGV[1])
  redis.call('LTRIM', KEYS[2], 0, ARGV[2] - 1)
end
return changed
