-- Write an experiment's definition and an audit entry if the stored version is the one before.
-- KEYS: 1 experiments; 2 audit
-- ARGV: 1 name; 2 new version; 3 definition (JSON), stored as "version definition";
--   4 audit entry (JSON); 5 audit entries kept; 6 sum of all versions that are stored, or -1.
local function version_of(stored) return tonumber(string.match(stored, '^%d+')) end
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local version = stored and version_of(stored) or 0
if version ~= tonumber(ARGV[2]) - 1 then return version end
if tonumber(ARGV[6]) >= 0 then
  local writes = 0
  for _, other in ipairs(redis.call('HVALS', KEYS[1])) do writes = writes + version_of(other) end
  if writes ~= tonumber(ARGV[6]) then return -2 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('LPUSH', KEYS[2], ARGV[4])
redis.call('LTRIM', KEYS[2], 0, ARGV[5] - 1)
return -1
