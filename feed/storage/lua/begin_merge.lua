-- Note on a reader that an id is about to be merged in, so that erasing the reader finds it.
-- KEYS: 1 the reader's preferences; 2 the ids merged into it (score: when, ms; below 0: not done yet)
-- ARGV: 1 id to be merged in; 2 now ms; 3 most ids merged in; 4 TTL s
-- Returns a word, and after `moved` the reader that this one was merged into.
local kept = redis.call('GET', KEYS[1])
if kept and string.byte(kept) == 62 then return {'moved', string.match(kept, '^>%d+ ([^ ]+)')} end
local at = redis.call('ZSCORE', KEYS[2], ARGV[1])
if at and tonumber(at) > 0 then return {'done'} end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) / 2 then return {'full'} end
redis.call('ZADD', KEYS[2], '-' .. ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return {'begun'}
