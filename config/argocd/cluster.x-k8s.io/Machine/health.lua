-- How a Machine is, by the conditions of Cluster API's contract, whoever made it: Argo CD has one script for all of them.
local status = obj.status or {}

local function condition(kind)
  for _, c in ipairs(status.conditions or {}) do
    if c.type == kind then
      return c
    end
  end
  return { status = "Unknown" }
end

local function says(health, kind, otherwise)
  local message = condition(kind).message
  if message == nil or message == "" then
    message = otherwise
  end
  return { status = health, message = message }
end

if condition("Paused").status == "True" then
  return says("Suspended", "Paused", "It is paused: Cluster API leaves it alone")
end
if status.phase == "Failed" then
  return says("Degraded", "Ready", "It failed")
end
if condition("Ready").status == "True" then
  return says("Healthy", "Ready", "Its node is ready")
end
-- A machine that has a Node was ready once.
if status.nodeRef ~= nil then
  return says("Degraded", "Ready", "Its node is not ready")
end
return says("Progressing", "Ready", "It has no node yet")
