-- Replace a reader's preferences; without personalisation no history stays, and when it is switched
-- off, no ranked list that came from the history.
-- KEYS: 1 preferences; 2, 3, 4 engagements, clicked, shown; 5 list of the reader's slate keys
-- ARGV: 1 preferences; 2 TTL s. Returns the pointer of an id that was merged, else nothing.
local kept = redis.call('GET', KEYS[1])
if kept and string.byte(kept) == 62 then return kept end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if string.byte(ARGV[1]) == 48 then
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
  if not kept or string.byte(kept) ~= 48 then
    for _, key in ipairs(redis.call('LRANGE', KEYS[5], 0, -1)) do redis.call('DEL', key) end
    redis.call('DEL', KEYS[5])
  end
end
return false
