-- KEYS: host, birth. Returns the host's fields, or how old the directory is and which one it is.
local entry = redis.call('HMGET', KEYS[1], 'server', 'epoch', 'owner', 'instance', 'public', 'dials')
if entry[1] then
  return entry
end
local birth = redis.call('GET', KEYS[2])
if not birth then
  return {}
end
local time = redis.call('TIME')
local age = time[1] * 1000 + math.floor(time[2] / 1000) - (tonumber(string.match(birth, '^%d+')) or 0)
return {birth, string.format('%.0f', age)}
