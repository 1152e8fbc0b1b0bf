-- Write one of the newsroom's decisions and an audit entry if the stored version is the one before.
-- KEYS: 1 editorial; 2 audit
-- ARGV: 1 name; 2 new version; 3 value (JSON), stored as "version value"; 4 audit entry (JSON);
--   5 audit entries kept.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local version = stored and tonumber(string.match(stored, '^%d+')) or 0
if version ~= tonumber(ARGV[2]) - 1 then return version end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('LPUSH', KEYS[2], ARGV[4])
redis.call('LTRIM', KEYS[2], 0, ARGV[5] - 1)
return -1
