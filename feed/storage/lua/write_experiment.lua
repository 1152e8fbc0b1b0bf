-- Write an experiment's definition if the stored version is the one before.
-- KEYS: 1 experiments
-- ARGV: 1 name; 2 new version; 3 definition (JSON). Stored as "version definition".
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local version = stored and tonumber(string.match(stored, '^%d+')) or 0
if version ~= tonumber(ARGV[2]) - 1 then return version end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return -1
