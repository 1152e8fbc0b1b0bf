-- Delete everything held on a reader and tell the archive to do the same.
-- KEYS: 1 stream; 2 list of the reader's slate keys; 3 ids merged into it; 4 reactions; 5... its
-- other keys. ARGV: 1 JSON object of the erase record, to which what leaves the totals of reactions
-- is added. Returns the ids merged into it, with scores.
local LIKE = 1
local taken = {}
local marks = redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES')
for i = 1, #marks, 2 do
  local change = tonumber(marks[i + 1]) % 4 == LIKE and ',-1,0]' or ',0,-1]'
  taken[#taken + 1] = '[' .. cjson.encode(marks[i]) .. change
end
local record = string.sub(ARGV[1], 1, -2) .. ',"reactions":[' .. table.concat(taken, ',') .. ']}'
local merged = redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES')
for _, key in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do redis.call('DEL', key) end
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('XADD', KEYS[1], '*', 'x', record)
return merged
