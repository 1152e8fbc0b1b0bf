-- Replace a run's checkpoint together with the positions up to which it has counted, adopt the
-- shares of dead runs, and free partitions: all or nothing.
-- KEYS: 1 workers; 2 leases; 3 shares; 4 counted; 5 deltas; 6 the run's blob; then the blobs of
-- the adopted runs
-- ARGV: 1 run; 2 data; 3 delta from which followers of this run need the deltas; 4 how many
-- partitions; then name and lease of each; then position of each, and 1 if it is kept; then how
-- many first positions, and partition and position of each; then the adopted runs
-- Returns the id of the newest delta, or nothing if the run may not write.
local count = tonumber(ARGV[4])
if not holds(KEYS[1], KEYS[2], ARGV[1], 5, count) then return false end
local at = 5 + 4 * count
local first_positions = tonumber(ARGV[at])
local adopted = at + 2 * first_positions
for i = 7, #KEYS do
  local run = ARGV[adopted + i - 6]
  if is_live(KEYS[1], run) or redis.call('EXISTS', KEYS[i]) == 0 then return false end
end
for i = at + 1, adopted, 2 do redis.call('HSETNX', KEYS[4], ARGV[i], ARGV[i + 1]) end
for i = 7, #KEYS do
  local run = ARGV[adopted + i - 6]
  redis.call('DEL', KEYS[i])
  redis.call('HDEL', KEYS[3], run)
  local leases = redis.call('HGETALL', KEYS[2])
  for j = 1, #leases, 2 do
    local token, holder = parse_lease(leases[j + 1])
    if run ~= '' and holder == run then
      redis.call('HSET', KEYS[2], leases[j], string.format('%.0f', token))
    end
  end
end
redis.call('SET', KEYS[6], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
for n = 0, count - 1 do
  local name, lease = ARGV[5 + 2 * n], ARGV[6 + 2 * n]
  local position, is_kept = ARGV[5 + 2 * (count + n)], ARGV[6 + 2 * (count + n)]
  redis.call('HSET', KEYS[4], name, position)
  if is_kept == '0' then
    redis.call('HSET', KEYS[2], name, string.format('%.0f', (parse_lease(lease))))
  end
end
local oldest, oldest_ms, oldest_number
for _, id in ipairs(redis.call('HVALS', KEYS[3])) do
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  ms, number = tonumber(ms), tonumber(number)
  if not oldest or ms < oldest_ms or (ms == oldest_ms and number < oldest_number) then
    oldest, oldest_ms, oldest_number = id, ms, number
  end
end
redis.call('XTRIM', KEYS[5], 'MINID', oldest)
local newest = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 1)
return newest[1] and newest[1][1] or '0-0'
