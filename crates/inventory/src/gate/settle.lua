-- Settles what the ledger has decided, for one pool. A token is settled once: what is gone is left alone.
-- KEYS  three a cell: counters, quotas, tokens.
-- ARGV  an operation: cell, what, subject, quantity.
--         drop    subject is a token: its units are sold
--         return  subject is a token: its units are free again
--         keep    subject is a token: it keeps that quantity at most, the rest is free again
--         give    subject is a buyer, or nobody: so many more units are free, and count no longer for the buyer
-- Reply the version of each cell; 0 when it is not loaded, then nothing was done to it.
local versions, touched = {}, {}
for i = 1, #KEYS / 3 do
  local c = redis.call('HMGET', KEYS[3 * i - 2], 'free', 'version')
  versions[i] = c[1] and tonumber(c[2]) or 0
end

local function free(i, units, buyer)
  redis.call('HINCRBY', KEYS[3 * i - 2], 'free', units)
  if redis.call('HEXISTS', KEYS[3 * i - 1], buyer) == 1 then
    if redis.call('HINCRBY', KEYS[3 * i - 1], buyer, -units) <= 0 then
      redis.call('HDEL', KEYS[3 * i - 1], buyer)
    end
  end
  touched[i] = true
end

local dropped = {}
for at = 1, #ARGV, 4 do
  local i, what, subject, units = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  if versions[i] > 0 then
    if what == 'drop' then
      dropped[i] = dropped[i] or {}
      table.insert(dropped[i], subject)
    elseif what == 'return' then
      local held = redis.call('HGET', KEYS[3 * i], subject)
      if held then
        redis.call('HDEL', KEYS[3 * i], subject)
        local colon = string.find(held, ':', 1, true)
        free(i, tonumber(string.sub(held, 1, colon - 1)), string.sub(held, colon + 1))
      end
    elseif what == 'keep' then
      local held = redis.call('HGET', KEYS[3 * i], subject)
      if held then
        local colon = string.find(held, ':', 1, true)
        local had, buyer = tonumber(string.sub(held, 1, colon - 1)), string.sub(held, colon + 1)
        if units < had then
          redis.call('HSET', KEYS[3 * i], subject, units .. ':' .. buyer)
          free(i, had - units, buyer)
        end
      end
    elseif what == 'give' then
      free(i, units, subject)
    end
  end
end
for i, tokens in pairs(dropped) do
  redis.call('HDEL', KEYS[3 * i], unpack(tokens))
end
for i in pairs(touched) do
  versions[i] = versions[i] + 1
  redis.call('HSET', KEYS[3 * i - 2], 'version', string.format('%.0f', versions[i]))
end
return versions
