-- Append a counters delta if its writer holds the lease. Returns its id, or nothing.
-- KEYS: 1 deltas; 2 lease. ARGV: 1 owner; 2 data; 3 deltas kept
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end
return redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], '*', 'd', ARGV[2])
