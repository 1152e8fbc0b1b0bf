-- Delete everything held on a reader and tell the archive to do the same.
-- KEYS: 1 stream; 2 list of the reader's slate keys; 3 ids merged into it; 4... its other keys
-- ARGV: 1 JSON object of the erase record. Returns the ids merged into it, with scores.
local merged = redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES')
for _, key in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do redis.call('DEL', key) end
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('XADD', KEYS[1], '*', 'x', ARGV[1])
return merged
