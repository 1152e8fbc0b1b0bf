-- Append a counters delta if its writer holds the leases of the partitions in it.
-- KEYS: 1 deltas; 2 workers; 3 leases. ARGV: 1 run; 2 data; 3 deltas kept; 4 how many leases; then
-- name and lease of each. Returns the delta's id, or nothing.
if not holds(KEYS[2], KEYS[3], ARGV[1], 5, tonumber(ARGV[4])) then return false end
return redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], '*', 'd', ARGV[2])
