-- Replace a reader's attributes.
-- KEYS: 1 preferences; 2 attributes
-- ARGV: 1 attributes as JSON, empty for none; 2 TTL s. Returns the pointer of an id that was merged,
-- else nothing.
local kept = redis.call('GET', KEYS[1])
if kept and string.byte(kept) == 62 then return kept end
if ARGV[1] == '' then redis.call('DEL', KEYS[2])
else redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2]) end
return false
