-- Delete what was held on an id whose merge is done; the pointer stays.
-- KEYS: 1 identity; 2 list of slate keys; 3... the other keys. ARGV: 1 reader it points to
local identity = redis.call('GET', KEYS[1])
if not identity or string.match(identity, '^>%d+ (.*)$') ~= ARGV[1] then return 0 end
for _, key in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do redis.call('DEL', key) end
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
