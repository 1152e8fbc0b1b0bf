-- Replace a reader's preferences; without personalisation no history stays.
-- KEYS: 1 identity; 2 preferences; 3, 4, 5 engagements, clicked, shown
-- ARGV: 1 preferences; 2 TTL s. Returns the identity of an id that was merged, else nothing.
local identity = redis.call('GET', KEYS[1])
if identity and string.byte(identity) == 62 then return identity end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
if string.byte(ARGV[1]) == 48 then redis.call('DEL', KEYS[3], KEYS[4], KEYS[5]) end
return false
