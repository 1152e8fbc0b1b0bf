-- Put what was held on a merged id to what is held on its reader, once, and record it.
-- KEYS: 1 stream; 2 unit; 3 ids merged in; 4 engagements; 5 clicked; 6 shown; 7 reactions;
--       8 hidden; 9 saved; 10 undone; 11 preferences; 12 list of slate keys; 13 attributes (all of
--       the reader)
-- ARGV: 1 merged id; 2 when it was merged, ms; 3 reader; 4 reader TTL s;
--       5 TTL s of preferences, unit and attributes; 6 JSON object of what leave_reader returned of the merged id
-- Returns `moved` and the other reader, `gone` (erased meanwhile) or `done`; else `joined`.
local HISTORY, SHOWN, READ, MARKS, ATTRIBUTES = 200, 300, 1000, 1000, 16
local LIKE, DISLIKE, OFF = 1, 2, 48
local from, at, to, ttl, long_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local held = cjson.decode(ARGV[6])

local own = redis.call('GET', KEYS[11])
if own and string.byte(own) == 62 then return {'moved', string.match(own, '^>%d+ ([^ ]+)')} end
local noted = redis.call('ZSCORE', KEYS[3], from)
if not noted then return {'gone'} end
if tonumber(noted) > 0 then return {'done'} end

local unit = redis.call('GET', KEYS[2])
local is_fresh = not unit
for i = 4, 12 do is_fresh = is_fresh and redis.call('EXISTS', KEYS[i]) == 0 end

if not own and held.preferences ~= '' then
  own = held.preferences
  -- A login switches nothing off that a reader with a history has never switched off.
  if not is_fresh then own = '1' .. string.sub(own, 2) end
  redis.call('SET', KEYS[11], own, 'EX', long_ttl)
end
local is_off = own and string.byte(own) == OFF
local is_nameless = is_off or string.byte(held.preferences) == OFF

local function escape(text) return (string.gsub(text, '[\\"]', '\\%0')) end
local function seconds(ms) return string.format('%.3f', ms / 1000) end
local function keep(key, limit)
  redis.call('ZREMRANGEBYRANK', key, 0, -limit - 1)
  redis.call('EXPIRE', key, ttl)
end

local CLICK = { c = true, f = true, p = true }
local function first_clicks(entries)
  local found = {}
  for i = #entries, 1, -1 do
    local letter = string.sub(entries[i], 2, 2)
    if CLICK[letter] then
      local article = cjson.decode('[' .. entries[i] .. ']')[4]
      found[article] = found[article] or { string.match(entries[i], ',([^,]*)'), letter }
    end
  end
  return found
end

-- Of two first clicks on an article the later one is none any more.
local taken_back, theirs, ours = {}, nil, nil
local function take_back(article, ms)
  if not theirs then
    theirs = first_clicks(held.history)
    ours = first_clicks(redis.call('LRANGE', KEYS[4], 0, -1))
  end
  local a, b = theirs[article], ours[article]
  local later = a or b or { seconds(ms), 'c' }
  if a and b and tonumber(b[1]) > tonumber(a[1]) then later = b end
  taken_back[#taken_back + 1] = '["' .. escape(article) .. '",' .. later[1] .. ','
    .. tostring(later[2] ~= 'c') .. ',' .. tostring(later[2] == 'p') .. ']'
end

local function join_clicks()
  for i = 1, #held.read, 2 do
    local article, ms = held.read[i], tonumber(held.read[i + 1])
    local known = redis.call('ZSCORE', KEYS[5], article)
    if known then take_back(article, math.max(tonumber(known), ms)) end
    redis.call('ZADD', KEYS[5], 'GT', held.read[i + 1], article)
  end
  keep(KEYS[5], READ)
end

local function join_history()
  local entries = {}
  for _, list in ipairs({ redis.call('LRANGE', KEYS[4], 0, -1), held.history }) do
    for _, entry in ipairs(list) do
      local place = #entries + 1
      entries[place] = { entry, tonumber(string.match(entry, ',([^,]*)')), place }
    end
  end
  table.sort(entries, function(a, b)
    if a[2] ~= b[2] then return a[2] > b[2] end
    return a[3] < b[3]
  end)
  redis.call('DEL', KEYS[4])
  for i = 1, math.min(#entries, HISTORY) do redis.call('RPUSH', KEYS[4], entries[i][1]) end
  redis.call('EXPIRE', KEYS[4], ttl)
end

local function join_shown()
  for i = 1, #held.shown, 2 do
    local mine = tonumber(redis.call('ZSCORE', KEYS[6], held.shown[i]) or '0')
    local other = tonumber(held.shown[i + 1])
    local count = math.min(mine % 1024 + other % 1024, 1023)
    local last = math.max(mine - mine % 1024, other - other % 1024)
    redis.call('ZADD', KEYS[6], string.format('%.0f', last + count), held.shown[i])
  end
  keep(KEYS[6], SHOWN)
end

-- One reader has one reaction to an article, the newer one; the other leaves the totals.
local undone = {}
local function join_reactions()
  for i = 1, #held.reactions, 2 do
    local article, lost = held.reactions[i], tonumber(held.reactions[i + 1])
    local own_mark = redis.call('ZSCORE', KEYS[7], article)
    if not own_mark or (lost - lost % 4) > (tonumber(own_mark) - tonumber(own_mark) % 4) then
      redis.call('ZADD', KEYS[7], held.reactions[i + 1], article)
      lost = tonumber(own_mark or '0')
    end
    if own_mark then
      local likes, dislikes = 0, 0
      if lost % 4 == LIKE then likes = -1 elseif lost % 4 == DISLIKE then dislikes = -1 end
      undone[#undone + 1] = '["' .. escape(article) .. '",' .. seconds((lost - lost % 4) / 4) .. ','
        .. likes .. ',' .. dislikes .. ']'
    end
  end
  keep(KEYS[7], MARKS)
end

local function join_marks(key, pairs_held)
  for i = 1, #pairs_held, 2 do
    redis.call('ZADD', key, 'GT', pairs_held[i + 1], pairs_held[i])
  end
  keep(key, MARKS)
end

-- What is known of the reader counts before what was known of the id.
local function join_attributes()
  local known, count = cjson.decode(redis.call('GET', KEYS[13]) or '{}'), 0
  for _ in pairs(known) do count = count + 1 end
  for name, value in pairs(cjson.decode(held.attributes)) do
    if not known[name] and count < ATTRIBUTES then
      known[name], count = value, count + 1
    end
  end
  redis.call('SET', KEYS[13], cjson.encode(known), 'EX', long_ttl)
end

if held.attributes ~= '' then join_attributes() end
if not is_off then
  if #held.read > 0 then join_clicks() end
  if #held.history > 0 then join_history() end
  if #held.shown > 0 then join_shown() end
end
join_reactions()
join_marks(KEYS[8], held.hidden)
join_marks(KEYS[9], held.saved)
join_marks(KEYS[10], held.undone)

for i = 1, #held.merged, 2 do
  local known = redis.call('ZSCORE', KEYS[3], held.merged[i])
  if held.merged[i] ~= to and (not known or tonumber(known) < 0) then
    redis.call('ZADD', KEYS[3], held.merged[i + 1], held.merged[i])
  end
end
redis.call('ZADD', KEYS[3], at, from)
redis.call('EXPIRE', KEYS[3], long_ttl)

-- An account without a past goes on in the experiments as the reader it was until now.
if is_fresh then unit = held.unit ~= '' and held.unit or from end
redis.call('SET', KEYS[2], unit or to, 'EX', long_ttl)

local function name(id) return is_nameless and '""' or '"' .. escape(id) .. '"' end
redis.call('XADD', KEYS[1], '*', 'i', '{"from_id":' .. name(from) .. ',"to_id":' .. name(to)
  .. ',"merged_at":' .. seconds(tonumber(at)) .. ',"keeps_unit_of":"'
  .. (is_fresh and 'from' or 'to') .. '","clicks":[' .. table.concat(taken_back, ',')
  .. '],"reactions":[' .. table.concat(undone, ',') .. ']}')
return {'joined'}
