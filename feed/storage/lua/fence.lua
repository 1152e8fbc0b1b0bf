-- What every script of the workers begins with: the clock of the store, and the fence.
local function present_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function is_live(workers, run)
  local until_ms = redis.call('ZSCORE', workers, run)
  return until_ms and tonumber(until_ms) > present_ms()
end

-- A lease is its fencing token and, unless it is free, who holds it.
local function parse_lease(lease)
  local token, run = string.match(lease or '0', '^(%d+) ?(.*)$')
  return tonumber(token), run
end

-- Whether a run is live and still holds `count` leases, each in ARGV as name and lease from `first`.
local function holds(workers, leases, run, first, count)
  if not is_live(workers, run) then return false end
  for i = first, first + 2 * count - 1, 2 do
    local _, holder = parse_lease(ARGV[i + 1])
    if holder ~= run or redis.call('HGET', leases, ARGV[i]) ~= ARGV[i + 1] then return false end
  end
  return true
end

