-- Take back what begin_merge noted, unless the merge is done.
-- KEYS: 1 the ids merged into the reader. ARGV: 1 id that was to be merged in
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if at and tonumber(at) < 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0
