package redis

import "github.com/redis/rueidis"

// What must not be torn apart by another client's command is a script. All of them work on one stream and the set of ids
// that were deleted from it on purpose, which lie in the same slot of a cluster.

// common are functions that the scripts share. Ids become numbers that a double holds exactly.
const common = `
local function info(reply)
  local t = {}
  for i = 1, #reply, 2 do t[reply[i]] = reply[i + 1] end
  return t
end
local function split(text)
  local ms, seq = string.match(text, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function before(a, b)
  local am, as = split(a)
  local bm, bs = split(b)
  return am < bm or (am == bm and as < bs)
end
local function sortable(text)
  return string.format('%013.0f-%07.0f', split(text))
end
local function groupOf(stream, name)
  for _, reply in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local g = info(reply)
    if g['name'] == name then return g end
  end
end
local function firstOf(s)
  if s['first-entry'] then return s['first-entry'][1] end
end
-- gone says that an entry lies before all that is left and was not deleted on purpose
local function trimmed(first, deleted, name)
  return (not first or before(name, first)) and not redis.call('ZSCORE', deleted, sortable(name))
end
`

// join makes a group that begins with what there is, if there is none, and answers 1 if it did.
var join = rueidis.NewLuaScript(common + `
local stream, group = KEYS[1], ARGV[1]
local from, given = '0-0', 0
if redis.call('EXISTS', stream) == 1 then
  if groupOf(stream, group) then return 0 end
  local s = info(redis.call('XINFO', 'STREAM', stream))
  from, given = s['last-generated-id'], s['entries-added']
  local first = firstOf(s)
  if first then
    local ms, seq = split(first)
    from = seq > 0 and string.format('%.0f-%.0f', ms, seq - 1) or string.format('%.0f-1048575', ms - 1)
    given = given - s['length']
  end
end
redis.call('XGROUP', 'CREATE', stream, group, from, 'MKSTREAM', 'ENTRIESREAD', given)
return 1
`)

// readNew hands entries that no reader of the group has had to one. It first asks whether some are gone: the
// server itself passes over them without a word.
//
// Entries may be pending with the reader of which it never heard: a read whose answer was lost or not waited for gave them
// out, perhaps only now. They lie behind the last entry that it has, and it is told to read them first (status pending).
//
// The server counts the entries ever added (a), those left (l), and those that the group was given (r). When all that are left
// are new to the group, then a-l-r of the new ones are gone, and those of them that were deleted on purpose are known. Where r is unknown
// (a group moved by hand, deleted entries) it becomes known again when the group has caught up. Answers {status, records lost, last
// delivered, first left, entries}.
var readNew = rueidis.NewLuaScript(common + `
local stream, deleted = KEYS[1], KEYS[2]
local group, me, count, continue, from = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == 'continue', ARGV[5]
if #redis.call('XPENDING', stream, group, '(' .. from, '+', 1, me) > 0 then return {'pending', 0, '0-0', '0-0', false} end
local s = info(redis.call('XINFO', 'STREAM', stream))
local g = groupOf(stream, group)
if not g then return redis.error_reply('NOGROUP there is no group ' .. group .. ' of ' .. stream) end
local first, last = firstOf(s), g['last-delivered-id']
local added, left, given = s['entries-added'], s['length'], g['entries-read']
if not added then return redis.error_reply('ERR a server of version 7 or later is needed') end
local lost = 0
if given and (not first or before(last, first)) then
  lost = added - left - given
  if lost > 0 then lost = lost - redis.call('ZLEXCOUNT', deleted, '(' .. sortable(last), '+') end
  if lost < 0 then lost = 0 end
  if lost > 0 and not continue then return {'gap', lost, last, first or s['last-generated-id'], false} end
  if given ~= added - left then
    given = added - left
    redis.call('XGROUP', 'SETID', stream, group, last, 'ENTRIESREAD', given)
  end
end
local reply = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', count, 'STREAMS', stream, '>')
local found = reply and reply[1][2] or {}
if #found < count then
  if #found > 0 then last = found[#found][1] end
  if not given or given + #found ~= added then
    redis.call('XGROUP', 'SETID', stream, group, last, 'ENTRIESREAD', added)
  end
end
return {'ok', lost, last, first or s['last-generated-id'], found}
`)

// ack acknowledges the given entries, in ascending order, if they are pending with this reader. Those of another are left to
// it, and counted. One look finds most of them; others of this reader may lie between, and then some are asked for one by
// one.
var ack = rueidis.NewLuaScript(`
local stream, group, me = KEYS[1], ARGV[1], ARGV[2]
local held, mine, others = {}, {}, 0
for _, p in ipairs(redis.call('XPENDING', stream, group, ARGV[3], ARGV[#ARGV], #ARGV - 2, me)) do held[p[1]] = true end
for i = 3, #ARGV do
  if held[ARGV[i]] then
    mine[#mine + 1] = ARGV[i]
  else
    local p = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1)[1]
    if p and p[2] == me then mine[#mine + 1] = ARGV[i] elseif p then others = others + 1 end
  end
end
if #mine > 0 then redis.call('XACK', stream, group, unpack(mine)) end
return others
`)

// refresh sets the idle time of what is pending with this reader back to zero, a page from an id on, and marks the reader
// itself as alive. Entries that are in the stream no more are left as they are: to claim them would strike them off the
// list, and with them the only trace that they were not dealt with. What marks the reader is a read of what is pending with
// it behind the last id but one (the very last one means new entries to the server, which would be given out to nobody).
// Answers {ids still pending here, where the next page begins or nil}.
var refresh = rueidis.NewLuaScript(common + `
local stream, group, me, from, page = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', 1, 'STREAMS', stream, '18446744073709551615-18446744073709551614')
local first = firstOf(info(redis.call('XINFO', 'STREAM', stream)))
local pending = redis.call('XPENDING', stream, group, from, '+', page, me)
local ids, fresh = {}, {}
for _, p in ipairs(pending) do
  ids[#ids + 1] = p[1]
  if first and not before(p[1], first) then fresh[#fresh + 1] = p[1] end
end
if #fresh > 0 then
  fresh[#fresh + 1] = 'JUSTID'
  redis.call('XCLAIM', stream, group, me, 0, unpack(fresh))
end
return {ids, #pending == page and ids[#ids] or false}
`)

// takeOver claims a page of what is pending with the dead: readers that have done nothing for so long, entries that nobody
// has refreshed for so long, and all that was handed back. Readers of which nothing is left are forgotten. What is gone is
// found before anything is claimed, because claiming strikes it off the list. Answers {status, ids claimed, ids gone}; with
// status gap nothing was changed.
var takeOver = rueidis.NewLuaScript(common + `
local stream, deleted = KEYS[1], KEYS[2]
local group, me, idle, page, continue, back = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == 'continue', ARGV[6]
local first = firstOf(info(redis.call('XINFO', 'STREAM', stream)))
local dead, ids, gone, struck = {}, {}, {}, {}
for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local c = info(reply)
  if c['name'] ~= me and (c['name'] == back or c['idle'] >= idle) then
    local least = c['name'] == back and 0 or idle
    local pending = c['pending'] > 0 and redis.call('XPENDING', stream, group, 'IDLE', least, '-', '+', page - #ids, c['name']) or {}
    for _, p in ipairs(pending) do
      if first and not before(p[1], first) then ids[#ids + 1] = p[1]
      elseif trimmed(first, deleted, p[1]) then gone[#gone + 1] = p[1]
      else struck[#struck + 1] = p[1] end
    end
    if c['pending'] == 0 and c['name'] ~= back then dead[#dead + 1] = c['name'] end
  end
  if #ids >= page then break end
end
if #gone > 0 and not continue then return {'gap', {}, gone} end
if #gone > 0 then redis.call('XACK', stream, group, unpack(gone)) end
if #struck > 0 then redis.call('XACK', stream, group, unpack(struck)) end
for _, name in ipairs(dead) do redis.call('XGROUP', 'DELCONSUMER', stream, group, name) end
if #ids == 0 then return {'ok', {}, gone} end
local claim = {}
for i, name in ipairs(ids) do claim[i] = name end
claim[#claim + 1] = 'JUSTID'
return {'ok', redis.call('XCLAIM', stream, group, me, 0, unpack(claim)), gone}
`)

// handBack gives a page of what is pending with a reader that ends to whoever reads next, and forgets the reader when
// nothing is left. Answers how many are left.
var handBack = rueidis.NewLuaScript(common + `
local stream, group, me, page, back = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local first = firstOf(info(redis.call('XINFO', 'STREAM', stream)))
local pending = redis.call('XPENDING', stream, group, '-', '+', page, me)
local claim, stay = {}, 0
for _, p in ipairs(pending) do
  if first and not before(p[1], first) then claim[#claim + 1] = p[1] else stay = stay + 1 end
end
if #claim > 0 then
  claim[#claim + 1] = 'JUSTID'
  redis.call('XCLAIM', stream, group, back, 0, unpack(claim))
end
if #pending == 0 then
  redis.call('XGROUP', 'DELCONSUMER', stream, group, me)
  return 0
end
return stay == #pending and 0 or #pending
`)

// struck tells which of the given ids of entries that are gone were deleted on purpose, by 1 or 0 each.
var struck = rueidis.NewLuaScript(common + `
local first = firstOf(info(redis.call('XINFO', 'STREAM', KEYS[1])))
local answers = {}
for i, name in ipairs(ARGV) do answers[i] = trimmed(first, KEYS[2], name) and 0 or 1 end
return answers
`)

// life answers the incarnation of a stream: drawn when it is first asked for, and again when the stream has fewer entries
// behind it than it had, or is another: then it was deleted and made again. KEYS are the stream and its book.
var life = rueidis.NewLuaScript(common + `
local stream, book, drawn, renew = KEYS[1], KEYS[2], ARGV[1], ARGV[2] == 'renew'
local added, last = 0, '0-0'
if redis.call('EXISTS', stream) == 1 then
  local s = info(redis.call('XINFO', 'STREAM', stream))
  added, last = s['entries-added'], s['last-generated-id']
end
local known = redis.call('HMGET', book, 'life', 'added', 'last')
if not known[1] or renew or added < tonumber(known[2]) or before(last, known[3]) then
  redis.call('HSET', book, 'life', drawn)
  known[1] = drawn
end
redis.call('HSET', book, 'added', added, 'last', last)
return known[1]
`)

// addOnceText adds an entry unless its message id was seen within the window. KEYS are the stream and the id's own key; the
// answer is the entry's id, or nil for a duplicate. The key is set after the entry is added: a refused entry leaves no
// trace.
const addOnceText = `
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local name = redis.call('XADD', KEYS[1], unpack(ARGV, 2))
redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
return name
`

// moveGroup sets a group behind an id and strikes off all that is pending with it. Where the server can tell how many
// entries lie before that id it is told, so that entries trimmed in front of the group are noticed. Answers how many were
// pending.
var moveGroup = rueidis.NewLuaScript(common + `
local stream, group, behind = KEYS[1], ARGV[1], ARGV[2]
if redis.call('EXISTS', stream) == 0 or not groupOf(stream, group) then
  redis.call('XGROUP', 'CREATE', stream, group, behind, 'MKSTREAM')
end
local forgotten = 0
while true do
  local page = redis.call('XPENDING', stream, group, '-', '+', 500)
  if #page == 0 then break end
  local ids = {}
  for i, p in ipairs(page) do ids[i] = p[1] end
  forgotten = forgotten + redis.call('XACK', stream, group, unpack(ids))
end
local s = info(redis.call('XINFO', 'STREAM', stream))
local first = firstOf(s)
if not first or before(behind, first) then
  redis.call('XGROUP', 'SETID', stream, group, behind, 'ENTRIESREAD', s['entries-added'] - s['length'])
elseif not before(behind, s['last-generated-id']) then
  redis.call('XGROUP', 'SETID', stream, group, behind, 'ENTRIESREAD', s['entries-added'])
else
  redis.call('XGROUP', 'SETID', stream, group, behind)
end
return forgotten
`)
