-- KEYS and ARGV as of take.lua, but ARGV[8] is the epoch of the claim, and ARGV[9] is 1 if fields may have changed.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local birth = redis.call('GET', KEYS[5])
local is_young = not birth or now - (tonumber(string.match(birth, '^%d+')) or 0) < 15000
local entry = redis.call('HMGET', KEYS[1], 'server', 'epoch', 'owner', 'instance', 'public', 'dials', 'young')
local epoch = tonumber(ARGV[8])
local is_kept = entry[1] == ARGV[3] and entry[2] == ARGV[8]
if entry[1] and not is_kept then
  local is_own = entry[1] == ARGV[3]
  for at = 10, #ARGV do
    is_own = is_own or ARGV[at] == entry[3]
  end
  local other = tonumber(entry[2]) or 0
  local goes_before
  if is_own then
    goes_before = other > epoch or (other == epoch and entry[1] > ARGV[3])
  else
    -- Of two owners the one stays that was there first. Who came while the directory was young may have come second.
    goes_before = entry[7] ~= '1' or other <= epoch
  end
  if goes_before then
    return {'lost', {entry[1], entry[2], entry[3], entry[4], entry[5], entry[6]}}
  end
end
if not is_kept or ARGV[9] == '1' then
  if (tonumber(redis.call('GET', KEYS[2])) or 0) < epoch then
    redis.call('SET', KEYS[2], ARGV[8])
  end
  redis.call('HSET', KEYS[1], 'server', ARGV[3], 'epoch', ARGV[8], 'owner', ARGV[4], 'instance', ARGV[5], 'public',
    ARGV[6], 'dials', ARGV[7])
  redis.call('PUBLISH', KEYS[4], ARGV[1] .. ' ' .. ARGV[8] .. ' ' .. ARGV[3])
end
if not is_kept and is_young then
  redis.call('HSET', KEYS[1], 'young', '1')
elseif not is_young and entry[7] == '1' then
  redis.call('HDEL', KEYS[1], 'young')
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[2] * 2)
return {'held', ARGV[8]}
