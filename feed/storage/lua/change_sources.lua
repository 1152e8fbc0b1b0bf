-- Add, change or remove sources, each with its entry in the audit log if it has one.
-- KEYS: 1 sources; 2 what the poller found at them; 3 number of changes; 4 audit
-- ARGV: 1 audit entries kept; then for each source: what to do (add, change or remove); id;
--   source (JSON); audit entry (JSON or empty)
-- Returns for each 1, or 0 if there was one to add already, or none to change or remove.
local done = {}
for i = 2, #ARGV, 4 do
  local act, id, source, entry = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local is_there = redis.call('HEXISTS', KEYS[1], id) == 1
  local is_right = is_there == (act ~= 'add')
  if is_right and act == 'remove' then
    redis.call('HDEL', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
  elseif is_right then
    redis.call('HSET', KEYS[1], id, source)
  end
  if is_right and entry ~= '' then
    redis.call('LPUSH', KEYS[4], entry)
    redis.call('LTRIM', KEYS[4], 0, ARGV[1] - 1)
  end
  done[#done + 1] = is_right and 1 or 0
end
redis.call('INCR', KEYS[3])
return done
