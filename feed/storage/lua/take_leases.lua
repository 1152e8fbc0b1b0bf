-- Take leases that nobody live holds. Partitions of a dead run are free only when its share has
-- been adopted: what it published beyond its checkpoint is void from then on.
-- KEYS: 1 workers; 2 leases; 3 shares; 4 counted; 5 checkpoint of an earlier version, which must be
-- adopted first. ARGV: 1 run; then names of leases
-- Returns name, lease and counted position of each that was taken.
local taken = {}
if not is_live(KEYS[1], ARGV[1]) or redis.call('EXISTS', KEYS[5]) == 1 then return taken end
for i = 2, #ARGV do
  local name = ARGV[i]
  local token, holder = parse_lease(redis.call('HGET', KEYS[2], name))
  local is_kept = name ~= 'lead' and redis.call('HEXISTS', KEYS[3], holder) == 1
  if holder == '' or not (is_live(KEYS[1], holder) or is_kept) then
    local lease = string.format('%.0f %s', token + 1, ARGV[1])
    redis.call('HSET', KEYS[2], name, lease)
    taken[#taken + 1] = name
    taken[#taken + 1] = lease
    taken[#taken + 1] = redis.call('HGET', KEYS[4], name) or '0-0'
  end
end
return taken
