-- Take events of readers of one partition: deduplicate, append to the stream, update the readers.
-- KEYS: 1 stream; 2, 3 digests of events seen today and yesterday, and near midnight 4: tomorrow
-- ARGV: 1 prefix of the partition's reader keys (same hash tag as KEYS); 2 reader TTL s;
--       3 digest TTL s; 4 stream bound; 5 preferences TTL s; then eight for each event:
--       digest, user, article, kind (one letter), occurred_at ms, history entry,
--       JSON object without user_id, request_id and closing brace, request_id as JSON
-- Returns one character for each event: 1 accepted, 0 duplicate, 2 its user was merged into another
-- reader and nothing was done. If any was, a list: the characters, then users and their readers.
local HISTORY, SHOWN, READ, MARKS, PREVIOUS = 200, 300, 1000, 1000, 10
local READ_MS, HOUR_S = 30 * 86400 * 1000, 3600
local HEAD, WIDTH = 5, 8
local call = redis.call
local prefix, ttl = ARGV[1], tonumber(ARGV[2])
local n = (#ARGV - HEAD) / WIDTH

if call('XLEN', KEYS[1]) + n > tonumber(ARGV[4]) then
  return redis.error_reply('FULL too many records wait for the worker')
end

-- The time to live is set once an hour: to set it is one more change to be logged.
local function keep(key, seconds)
  local left = call('TTL', key)
  if left < seconds - HOUR_S or left > seconds then call('EXPIRE', key, seconds) end
end

local digests, users, first_of = {}, {}, {}
for i = 1, n do
  local at = HEAD + (i - 1) * WIDTH
  digests[i] = ARGV[at + 1]
  local user = ARGV[at + 2]
  if not first_of[user] then
    users[#users + 1] = prefix .. 'pref:' .. user
    first_of[user] = #users
  end
end
local seen = {}
for k = 2, #KEYS do
  for i, member in ipairs(call('SMISMEMBER', KEYS[k], unpack(digests))) do
    if member == 1 then seen[i] = true end
  end
end

-- Preferences begin with 0 when the reader switched personalisation off, and with > when the id
-- was merged into the reader named there.
local preferences, reader_of, moved = call('MGET', unpack(users)), {}, nil
for i, kept in ipairs(preferences) do
  if kept then
    keep(users[i], tonumber(ARGV[5]))
    if string.byte(kept) == 62 then
      local user, reader = string.sub(users[i], #prefix + 6), string.match(kept, '^>%d+ ([^ ]+)')
      reader_of[user] = reader
      moved = moved or {''}
      moved[#moved + 1], moved[#moved + 2] = user, reader
    end
  end
end
local function is_anonymous(user)
  local kept = preferences[first_of[user]]
  return kept and string.byte(kept) == 48
end

-- What moves on is seen where it arrives: if it never does, it must not count as seen here.
local added = digests
if moved then
  added = {}
  for i = 1, n do
    if not reader_of[ARGV[HEAD + (i - 1) * WIDTH + 2]] then added[#added + 1] = digests[i] end
  end
end
if #added > 0 then
  call('SADD', KEYS[2], unpack(added))
  call('EXPIRE', KEYS[2], ARGV[3])
end

local function escape(text)
  return string.find(text, '[\\"]') and string.gsub(text, '[\\"]', '\\%0') or text
end

local touched = {}

local function add_history(user, entry)
  local key = prefix .. 'h:' .. user
  if call('LPUSH', key, entry) > HISTORY then touched[key] = 'list'
  elseif not touched[key] then touched[key] = 'short' end
end

local function add_shown(user, article, ms)
  local key = prefix .. 'v:' .. user
  local score = tonumber(call('ZSCORE', key, article) or '0')
  local count = math.min(score % 1024 + 1, 1023)
  local last = math.max((score - score % 1024) / 1024, ms)
  local added = call('ZADD', key, string.format('%.0f', last * 1024 + count), article)
  if added == 1 then touched[key] = SHOWN
  elseif not touched[key] then touched[key] = 'short' end
end

-- The reader's first click on an article, with the clicks before it, newest first, as JSON. Scores
-- are whole milliseconds, so a time in seconds is one with 'e-3' behind it: numbers are slow here.
local function add_click(user, article, ms)
  local key = prefix .. 'r:' .. user
  if call('ZADD', key, 'GT', ms, article) == 0 then return false, '' end
  call('ZREMRANGEBYSCORE', key, '-inf', '(' .. ms - READ_MS)
  local before = call('ZREVRANGE', key, 0, PREVIOUS, 'WITHSCORES')
  local parts, last = {}, 0
  for j = 1, #before, 2 do
    if before[j] ~= article and last < 4 * PREVIOUS then
      parts[last + 1] = last == 0 and '["' or 'e-3],["'
      parts[last + 2], parts[last + 3], parts[last + 4] = escape(before[j]), '",', before[j + 1]
      last = last + 4
    end
  end
  touched[key] = READ
  return true, last > 0 and table.concat(parts) .. 'e-3]' or ''
end

-- Without a history, a digest of reader and article in the day's set tells a first click.
local function is_first_anonymous_click(user, article)
  local digest = redis.sha1hex(user .. ' ' .. article)
  if call('SISMEMBER', KEYS[3], digest) == 1 then return false end
  return call('SADD', KEYS[2], digest) == 1
end

-- The later of an event and its undo decides, in whatever order they arrive. So the newest undo is
-- remembered, and an event that happened before it has no effect.
local UNDO_OF = { l = 'L', d = 'D', x = 'X', s = 'S' }
local function is_undone(user, article, kind, ms)
  local undone = call('ZSCORE', prefix .. 'u:' .. user, UNDO_OF[kind] .. article)
  return undone and tonumber(undone) > ms
end

local function remember_undo(user, article, kind, ms)
  local key = prefix .. 'u:' .. user
  call('ZADD', key, 'GT', ms, kind .. article)
  touched[key] = MARKS
end

-- A like takes back a dislike and the reverse. That is remembered when the newer of them goes, so
-- that the older one does not come back if it arrives last.
local LIKE, DISLIKE = 1, 2
local CODE = { l = LIKE, d = DISLIKE, L = LIKE, D = DISLIKE }
local OTHER_UNDO = { l = 'D', d = 'L', L = 'D', D = 'L' }
local function react(user, article, kind, ms)
  local key = prefix .. 'm:' .. user
  local kept = tonumber(call('ZSCORE', key, article) or '0')
  local old = kept % 4
  local new, since = old, (kept - old) / 4
  local is_undo = not UNDO_OF[kind]
  if is_undo then remember_undo(user, article, kind, ms) end
  if ms < since then return 0, 0 end
  if is_undo then
    if old == CODE[kind] then
      remember_undo(user, article, OTHER_UNDO[kind], since)
      new = 0
    end
  elseif is_undone(user, article, kind, ms) then
    remember_undo(user, article, OTHER_UNDO[kind], ms)
    if old ~= CODE[kind] then new = 0 end
  else
    new, since = CODE[kind], ms
  end
  touched[key] = MARKS
  if new == 0 then call('ZREM', key, article)
  else call('ZADD', key, string.format('%.0f', since * 4 + new), article) end
  local likes = (new == LIKE and 1 or 0) - (old == LIKE and 1 or 0)
  local dislikes = (new == DISLIKE and 1 or 0) - (old == DISLIKE and 1 or 0)
  return likes, dislikes
end

local MARK = { x = 'x', X = 'x', s = 's', S = 's' }
local function mark(user, article, kind, ms)
  local key = prefix .. MARK[kind] .. ':' .. user
  if not UNDO_OF[kind] then
    remember_undo(user, article, kind, ms)
    if tonumber(call('ZSCORE', key, article) or '0') <= ms then
      call('ZREM', key, article)
    end
  elseif not is_undone(user, article, kind, ms) then call('ZADD', key, 'GT', ms, article) end
  touched[key] = MARKS
end

local results, in_batch = {}, {}
for i = 1, n do
  local at = HEAD + (i - 1) * WIDTH
  local digest = ARGV[at + 1]
  if seen[i] or in_batch[digest] then
    results[i] = '0'
  elseif moved and reader_of[ARGV[at + 2]] then
    results[i] = '2'
  else
    in_batch[digest] = true
    results[i] = '1'
    local user, article, kind = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local ms, nobody = tonumber(ARGV[at + 5]), is_anonymous(user)
    local first, previous, likes, dislikes = false, '', '0', '0'
    if kind == 'i' then
      if not nobody then add_shown(user, article, ms) end
    elseif kind ~= 'n' then  -- a custom event changes nothing about the reader
      if not nobody then add_history(user, ARGV[at + 6]) end
      if kind == 'c' then
        if nobody then first = is_first_anonymous_click(user, article)
        else first, previous = add_click(user, article, ARGV[at + 5]) end
      elseif MARK[kind] then mark(user, article, kind, ms)
      elseif kind ~= 'r' and kind ~= 'z' then likes, dislikes = react(user, article, kind, ms) end
    end
    -- The record of a reader without personalisation names neither reader nor request.
    local request = (nobody and ARGV[at + 8] ~= 'null') and '""' or ARGV[at + 8]
    call('XADD', KEYS[1], '*', 'e', ARGV[at + 7]
      .. ',"user_id":"' .. (nobody and '' or escape(user)) .. '","request_id":' .. request
      .. (first and ',"first":true' or ',"first":false') .. ',"previous":[' .. previous
      .. '],"likes":' .. likes .. ',"dislikes":' .. dislikes .. '}')
  end
end

for key, limit in pairs(touched) do
  if limit == 'list' then call('LTRIM', key, 0, HISTORY - 1)
  elseif limit ~= 'short' then call('ZREMRANGEBYRANK', key, 0, -limit - 1) end
  keep(key, ttl)
end
if not moved then return table.concat(results) end
moved[1] = table.concat(results)
return moved
