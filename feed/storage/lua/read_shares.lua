-- Read the checkpoints of all runs at one moment. Returns the id of the newest delta and the
-- checkpoints, or nothing if the runs are others by now.
-- KEYS: 1 shares; 2 deltas; then the blob of each run. ARGV: the runs; '' is an earlier version's
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local found, runs = {newest[1] and newest[1][1] or '0-0'}, 0
for i, run in ipairs(ARGV) do
  local checkpoint = redis.call('GET', KEYS[i + 2])
  if not checkpoint then return false end
  if run ~= '' then runs = runs + 1 end
  found[i + 1] = checkpoint
end
if redis.call('HLEN', KEYS[1]) ~= runs then return false end
return found
