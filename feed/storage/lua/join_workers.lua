-- Enter or renew a worker's run, and read what is shared out. A worker of an earlier version,
-- which counts every partition alone, is waited for and then kept out.
-- KEYS: 1 workers; 2 leases; 3 shares; 4 counted; 5 lease of earlier versions; 6 their checkpoint
-- ARGV: 1 run; 2 TTL ms; 3 1 if the run is new
-- Returns 'wait', 'lost' (the run was not renewed in time, or the name is used), or what there is.
local holder = redis.call('GET', KEYS[5])
if holder and holder ~= 'by partition' then return {'wait'} end
if not holder then redis.call('SET', KEYS[5], 'by partition') end
local now = present_ms()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local is_known = redis.call('ZSCORE', KEYS[1], ARGV[1])
local is_used = is_known or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1
if (ARGV[3] == '1' and is_used) or (ARGV[3] == '0' and not is_known) then return {'lost'} end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return {
  'joined', redis.call('ZRANGE', KEYS[1], 0, -1), redis.call('HGETALL', KEYS[2]),
  redis.call('HKEYS', KEYS[3]), redis.call('HGETALL', KEYS[4]), redis.call('EXISTS', KEYS[6])
}
