-- Append an exposure record to the stream and count a new slate, just set, among those kept.
-- KEYS: 1 stream; 2 preferences; 3 slate; 4 list of the reader's slate keys
-- ARGV: 1 stream bound; 2 JSON object without user_id and closing brace; 3 user;
--       4 1 for a new slate, else 0; 5 slate TTL s; 6 slates kept
-- All keys share the partition's hash tag; the slate keys in the list carry it too.
if ARGV[4] == '1' then
  redis.call('LREM', KEYS[4], 0, KEYS[3])
  redis.call('LPUSH', KEYS[4], KEYS[3])
  while redis.call('LLEN', KEYS[4]) > tonumber(ARGV[6]) do
    redis.call('DEL', redis.call('RPOP', KEYS[4]))
  end
  redis.call('EXPIRE', KEYS[4], ARGV[5])
end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  return redis.error_reply('FULL too many records wait for the worker')
end
local kept = redis.call('GET', KEYS[2])
local user = ARGV[3]
if kept and string.byte(kept) == 48 then user = '' end
user = string.gsub(user, '[\\"]', '\\%0')
redis.call('XADD', KEYS[1], '*', 's', ARGV[2] .. ',"user_id":"' .. user .. '"}')
return 1
