-- Keep events whose article has not come, unless it has come meanwhile.
-- KEYS: 1 meta; 2 waiting
-- ARGV: 1 most events that wait; then three for each event: article, field, JSON object
-- Returns one character for each event: w it waits, a its article is there, f too many wait.
local flags = {}
for i = 2, #ARGV, 3 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then flags[#flags + 1] = 'a'
  elseif redis.call('HEXISTS', KEYS[2], ARGV[i + 1]) == 1 then flags[#flags + 1] = 'w'
  elseif redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[1]) then flags[#flags + 1] = 'f'
  else
    redis.call('HSET', KEYS[2], ARGV[i + 1], ARGV[i + 2])
    flags[#flags + 1] = 'w'
  end
end
return table.concat(flags)
