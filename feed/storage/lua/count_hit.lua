-- Count one hit in a window. Returns the hits so far.
-- KEYS: 1 counter. ARGV: 1 TTL s
local hits = redis.call('INCR', KEYS[1])
if hits == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return hits
