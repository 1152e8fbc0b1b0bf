-- Delete what was held on an id whose merge is done; the pointer stays.
-- KEYS: 1 preferences; 2 list of slate keys; 3... the other keys
-- ARGV: 1 reader it points to; 2 TTL s
local kept = redis.call('GET', KEYS[1])
local pointer, to = string.match(kept or '', '^(>%d+ ([^ ]+) )')
if to ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], pointer, 'EX', ARGV[2])
for _, key in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do redis.call('DEL', key) end
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
