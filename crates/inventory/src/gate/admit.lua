-- Admits a batch of requests of one bucket of a pool: window, buyer's limit, idempotency, quantity, deduct. Set-at-a-time:
-- reads each cell once, decides in the order of the requests, writes each cell once. Times are this server's, in milliseconds for
-- the window and in microseconds for versions.
-- KEYS  three a cell: counters, quotas, tokens. All carry one hash tag.
-- ARGV  the cells' layout as the caller knows it, then a request: token, buyer, number of lines, then cell and quantity of
--       each line (one line a cell).
-- Reply four integers a request: code, cell it is about, a value, version of that cell. The value is the limit when that was
--       reached, the layout when the cell is not loaded in the caller's, and else the units of the cell that are free.
local ADMITTED, ALREADY, SOLD_OUT, BUYER_LIMIT, NOT_OPEN, CLOSED, NOT_LOADED = 0, 1, 2, 3, 4, 5, 6

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now_ms = math.floor(now_us / 1000)

local cells = {}
for i = 1, #KEYS / 3 do
  local c = redis.call('HMGET', KEYS[3 * i - 2], 'free', 'limit', 'opens_ms', 'closes_ms', 'version', 'layout')
  local layout, version = tonumber(c[6]) or 0, tonumber(c[5]) or 0
  local cell = {
    place = i, loaded = c[1] and layout == tonumber(ARGV[1]), layout = layout,
    free = tonumber(c[1]), limit = tonumber(c[2]), opens_ms = tonumber(c[3]), closes_ms = tonumber(c[4]),
    version = version, next = string.format('%.0f', math.max(version + 1, now_us)),
    asked = 0, tokens = {}, buyers = {}, held = {}, used = {}, new = 0, new_tokens = {}, new_used = {},
  }
  cell.stamp = ':' .. cell.next .. ':'
  cells[tostring(i)] = cell
end

-- Nothing is made for a request: it is read where it stands, here and when it is decided.
local at, last = 2, #ARGV
while at < last do
  local token, buyer, lines = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  for line = at, at + 2 * lines - 1, 2 do
    local cell = cells[ARGV[line]]
    local n = cell.asked + 1
    cell.asked, cell.tokens[n], cell.buyers[n] = n, token, buyer
  end
  at = at + 2 * lines
end

for _, cell in pairs(cells) do
  if cell.loaded then
    local held = redis.call('HMGET', KEYS[3 * cell.place], unpack(cell.tokens))
    for n = 1, cell.asked do
      if held[n] then cell.held[cell.tokens[n]] = true end
    end
    if cell.limit > 0 then
      local used = redis.call('HMGET', KEYS[3 * cell.place - 1], unpack(cell.buyers))
      for n = 1, cell.asked do cell.used[cell.buyers[n]] = tonumber(used[n] or 0) end
    end
  end
end

-- Why the lines from `first` to `final` are refused, and the cell that is about; nothing when they are not.
local function refusal(token, buyer, first, final)
  for line = first, final, 2 do
    local cell = cells[ARGV[line]]
    if not cell.loaded then return NOT_LOADED, cell, cell.layout end
  end
  for line = first, final, 2 do
    local cell = cells[ARGV[line]]
    if cell.held[token] then return ALREADY, cell end
  end
  for line = first, final, 2 do
    local cell, quantity = cells[ARGV[line]], tonumber(ARGV[line + 1])
    if now_ms < cell.opens_ms then return NOT_OPEN, cell end
    if now_ms >= cell.closes_ms then return CLOSED, cell end
    if cell.limit > 0 and cell.used[buyer] + quantity > cell.limit then return BUYER_LIMIT, cell, cell.limit end
    if quantity > cell.free then return SOLD_OUT, cell end
  end
end

local reply, said = {}, 0
at = 2
while at < last do
  local token, buyer, lines = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  local final = at + 2 * lines - 1
  local code, about, value = refusal(token, buyer, at, final)
  if not code then
    code, about = ADMITTED, cells[ARGV[at]]
    for line = at, final, 2 do
      local cell, quantity = cells[ARGV[line]], tonumber(ARGV[line + 1])
      cell.free = cell.free - quantity
      cell.held[token] = true
      local n = cell.new
      cell.new, cell.new_tokens[n + 1], cell.new_tokens[n + 2] = n + 2, token, quantity .. cell.stamp .. buyer
      if cell.limit > 0 then
        cell.used[buyer] = cell.used[buyer] + quantity
        cell.new_used[buyer] = cell.used[buyer]
      end
    end
  end
  reply[said + 1], reply[said + 2] = code, about.place
  reply[said + 3], reply[said + 4] = value or about.free, about.version
  said = said + 4
  at = final + 1
end

for _, cell in pairs(cells) do
  if cell.new > 0 then
    redis.call('HSET', KEYS[3 * cell.place - 2], 'free', cell.free, 'version', cell.next)
    redis.call('HSET', KEYS[3 * cell.place], unpack(cell.new_tokens))
    local used, n = {}, 0
    for buyer, units in pairs(cell.new_used) do
      used[n + 1], used[n + 2] = buyer, units
      n = n + 2
    end
    if n > 0 then redis.call('HSET', KEYS[3 * cell.place - 1], unpack(used)) end
  end
end
return reply
