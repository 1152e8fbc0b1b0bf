-- Keep a blob if its writer holds a lease. Returns 1 if kept.
-- KEYS: 1 blob; 2 workers; 3 leases. ARGV: 1 run; 2 data; 3 name of the lease; 4 the lease
if not holds(KEYS[2], KEYS[3], ARGV[1], 3, 1) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
