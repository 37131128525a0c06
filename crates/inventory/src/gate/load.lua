-- Makes one bucket of a cell from the ledger's level. What the ledger decided up to `number` is in that level; a level that is older
-- than what the bucket has heard of is refused, whoever sends it and however late. What is put aside for requests on their way to the
-- ledger stays put aside, unless it is older than a request takes: then nobody will ask for it.
-- KEYS  counters, quotas, tokens.
-- ARGV  number, units of this bucket, limit, opens_ms, closes_ms, layout, how long a request may take in microseconds, and whether
--       what buyers have used is forgotten (1) or stays (0).
-- Reply 1 and the version, or 0 and the number the level had to have at least, when it is too old.
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local number, units, limit, layout, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[6], tonumber(ARGV[7])
local forget = ARGV[8] == '1'

local c = redis.call('HMGET', KEYS[1], 'loaded', 'seen', 'version', 'layout')
local version = tonumber(c[3]) or 0
if number < (tonumber(c[1]) or 0) or number < (tonumber(c[2]) or 0) then
  return { 0, math.max(tonumber(c[1]) or 0, tonumber(c[2]) or 0) }
end

local tokens = redis.call('HGETALL', KEYS[3])
local used, gone = {}, {}
for n = 1, #tokens, 2 do
  local quantity, admitted, buyer = string.match(tokens[n + 1], '^(%d+):(%d+):(.*)$')
  -- In another layout the buyer may belong to another bucket.
  if quantity and c[4] == layout and now_us - tonumber(admitted) <= longest then
    units = units - tonumber(quantity)
    used[buyer] = (used[buyer] or 0) + tonumber(quantity)
  else
    gone[#gone + 1] = tokens[n]
    if quantity and not forget and limit > 0 then
      if redis.call('HINCRBY', KEYS[2], buyer, -tonumber(quantity)) <= 0 then redis.call('HDEL', KEYS[2], buyer) end
    end
  end
end
for n = 1, #gone, 1000 do
  redis.call('HDEL', KEYS[3], unpack(gone, n, math.min(n + 999, #gone)))
end
if forget then
  redis.call('DEL', KEYS[2])
  if limit > 0 then
    for buyer, quantity in pairs(used) do redis.call('HSET', KEYS[2], buyer, quantity) end
  end
end
version = math.max(version + 1, now_us)
redis.call('HSET', KEYS[1], 'free', string.format('%.0f', units), 'limit', ARGV[3], 'opens_ms', ARGV[4], 'closes_ms', ARGV[5],
  'version', string.format('%.0f', version), 'loaded', ARGV[1], 'layout', layout)
return { 1, version }
