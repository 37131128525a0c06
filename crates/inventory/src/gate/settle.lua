-- Settles what became of units of one bucket of a pool. The ledger numbers what it decides, cell by cell: what it decided up to the
-- number a cell was loaded at is in the cell's free units already, what it decided later is not. So each decision counts once, in
-- whatever order decisions and loads arrive.
-- KEYS  three a cell: counters, quotas, tokens. All carry one hash tag.
-- ARGV  the cells' layout as the caller knows it, then an operation: cell, what, token, buyer, units, number.
--         taken    the ledger gave these units to the token
--         refused  the ledger gave the token nothing: what was put aside for it is free again
--         over     the same, because of the buyer's limit, which is in `units`: the buyer has used what the limit leaves no room for
--         unknown  nobody knows what the ledger did: the token is forgotten, its units are not free before the next load
--         moved    so many units more are free, or less, and count less, or more, for the buyer; nobody's have no buyer
-- Reply two integers a cell: its version, 0 when it is not loaded or in another layout, then nothing was done to it; and whether
--       units came back, or the layout when it is loaded in another.
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]

local cells = {}
for i = 1, #KEYS / 3 do
  local c = redis.call('HMGET', KEYS[3 * i - 2], 'free', 'version', 'loaded', 'seen', 'limit', 'gave', 'layout')
  local layout = tonumber(c[7]) or 0
  cells[i] = {
    place = i, is_loaded = c[1] and layout == tonumber(ARGV[1]), layout = layout,
    free = tonumber(c[1]), version = tonumber(c[2]) or 0, loaded = tonumber(c[3]) or 0, seen = tonumber(c[4]) or 0,
    limit = tonumber(c[5]) or 0, gave = tonumber(c[6]) or 0, delta = 0, news = 0, gone = {}, held = {},
    asked = 0, tokens = {},
  }
  cells[tostring(i)] = cells[i]
end
for at = 2, #ARGV, 6 do
  if ARGV[at + 1] ~= 'moved' then
    local cell = cells[ARGV[at]]
    cell.asked = cell.asked + 1
    cell.tokens[cell.asked] = ARGV[at + 2]
  end
end
for _, cell in ipairs(cells) do
  if cell.is_loaded and cell.asked > 0 then
    local held = redis.call('HMGET', KEYS[3 * cell.place], unpack(cell.tokens))
    for n = 1, cell.asked do cell.held[cell.tokens[n]] = held[n] end
  end
end

-- The buyer uses so many units more; never less than none.
local function use(cell, buyer, units)
  if cell.limit == 0 or buyer == '' or units == 0 then return end
  local quotas = KEYS[3 * cell.place - 1]
  if redis.call('HINCRBY', quotas, buyer, units) <= 0 then redis.call('HDEL', quotas, buyer) end
end

-- What was put aside for the token, as it is kept: taken out, and nil when there is nothing.
local function take_out(cell, token)
  local held = cell.held[token]
  if not held then return end
  cell.held[token] = nil
  cell.gone[#cell.gone + 1] = token
  return held
end

-- How many units, when and for whom.
local function read(held)
  local quantity, admitted, buyer = string.match(held, '^(%d+):(%d+):(.*)$')
  return tonumber(quantity), tonumber(admitted), buyer
end

for at = 2, #ARGV, 6 do
  local cell, what, token, buyer = cells[ARGV[at]], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local units, number = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  if cell.is_loaded then
    local held
    if what ~= 'moved' then held = take_out(cell, token) end
    if what == 'taken' then
      if held and number <= cell.loaded then cell.delta = cell.delta + read(held) end
      if not held then
        if number > cell.loaded then cell.delta = cell.delta - units end
        use(cell, buyer, units)
      end
    elseif (what == 'refused' or what == 'over') and held then
      local aside, admitted, holder = read(held)
      cell.delta = cell.delta + aside
      use(cell, holder, -aside)
      -- Units the buyer gave back since then may not have been counted by the refusal: then it teaches nothing.
      if what == 'over' and cell.limit > 0 and cell.gave <= admitted then
        local quotas = KEYS[3 * cell.place - 1]
        local used = tonumber(redis.call('HGET', quotas, holder) or 0)
        if used < units - aside + 1 then redis.call('HSET', quotas, holder, units - aside + 1) end
      end
    elseif what == 'moved' then
      if number > cell.loaded then cell.delta = cell.delta + units end
      use(cell, buyer, -units)
      cell.gave = now_us
      cell.news = cell.news + 1
    end
    if number > cell.seen then
      cell.seen = number
      cell.news = cell.news + 1
    end
  end
end

local reply = {}
for i, cell in ipairs(cells) do
  if not cell.is_loaded then
    reply[#reply + 1] = 0
    reply[#reply + 1] = cell.layout
  else
    if #cell.gone > 0 then redis.call('HDEL', KEYS[3 * i], unpack(cell.gone)) end
    if cell.delta ~= 0 then cell.version = math.max(cell.version + 1, now_us) end
    if cell.delta ~= 0 or cell.news > 0 then
      redis.call('HSET', KEYS[3 * i - 2], 'free', string.format('%.0f', cell.free + cell.delta),
        'version', string.format('%.0f', cell.version), 'seen', string.format('%.0f', cell.seen),
        'gave', string.format('%.0f', cell.gave))
    end
    reply[#reply + 1] = cell.version
    reply[#reply + 1] = cell.delta > 0 and 1 or 0
  end
end
return reply
