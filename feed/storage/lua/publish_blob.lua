-- Keep a blob if its writer holds the lease. Returns 1 if kept.
-- KEYS: 1 blob; 2 lease. ARGV: 1 owner; 2 data
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
