-- Insert or replace articles that are as expected and not erased, and log the changes.
-- Returns for each: 1 written, 0 another one than expected is there, -1 it was erased.
-- KEYS: 1 articles; 2 meta; 3 age; 4 change log; 5 erased
-- ARGV: 1 bound of the change log; then five for each article: id, SHA-1 of the expected bytes
-- ('' none, '*' any), whole, meta, age (epoch s)
local outcomes = {}
for i = 2, #ARGV, 5 do
  local present = redis.call('HGET', KEYS[1], ARGV[i])
  local digest = present and redis.sha1hex(present) or ''
  local outcome = 1
  if redis.call('ZSCORE', KEYS[5], ARGV[i]) then
    outcome = -1
  elseif ARGV[i + 1] ~= '*' and ARGV[i + 1] ~= digest then
    outcome = 0
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 3])
    redis.call('ZADD', KEYS[3], ARGV[i + 4], ARGV[i])
    redis.call('XADD', KEYS[4], '*', 'a', ARGV[i])
  end
  outcomes[#outcomes + 1] = outcome
end
redis.call('XTRIM', KEYS[4], 'MAXLEN', ARGV[1])
return outcomes
