-- Make an id point to the reader it is merged into, and return everything held on it.
-- From here on nothing is written to its other keys: events and preferences go to the reader.
-- The pointer stands in place of the preferences, which every request reads: `>`, since when (ms),
-- a space, the reader, a space, and until the merge is done the preferences.
-- KEYS: 1 preferences; 2 ids merged in; 3 engagements; 4 clicked; 5 shown; 6 reactions; 7 hidden;
--       8 saved; 9 undone; 10 unit; 11 attributes
-- ARGV: 1 reader to point to; 2 now ms; 3 most ids merged in; 4 TTL s;
--       5 ms for which a merge that began holds off others
-- Returns `cycle`, `busy` or `full` and has changed nothing; else `left`, the reader pointed to,
-- since when (ms), unit, preferences and attributes, and what the keys 2 to 9 hold.
local kept = redis.call('GET', KEYS[1]) or ''
local to, at, preferences = ARGV[1], ARGV[2], kept
if string.byte(kept) == 62 then
  at, to, preferences = string.match(kept, '^>(%d+) ([^ ]+) (.*)$')
else
  if tonumber(redis.call('ZSCORE', KEYS[2], to) or '0') > 0 then return {'cycle'} end
  if redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[3]) / 2 then return {'full'} end
  local since = string.format('%.0f', tonumber(ARGV[5]) - tonumber(at))
  if redis.call('ZCOUNT', KEYS[2], '-inf', since) > 0 then return {'busy'} end
  redis.call('SET', KEYS[1], '>' .. at .. ' ' .. to .. ' ' .. preferences, 'EX', ARGV[4])
end
local held = {'left', to, at, redis.call('GET', KEYS[10]) or '', preferences,
  redis.call('GET', KEYS[11]) or '',
  redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES'), redis.call('LRANGE', KEYS[3], 0, -1)}
for i = 4, 9 do held[#held + 1] = redis.call('ZRANGE', KEYS[i], 0, -1, 'WITHSCORES') end
return held
