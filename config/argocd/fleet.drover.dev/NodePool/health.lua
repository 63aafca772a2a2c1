-- How a NodePool is, from the conditions that its manager keeps (docs/gitops.md). Argo CD gives scripts no string library.
local status = obj.status or {}

local function condition(kind)
  for _, c in ipairs(status.conditions or {}) do
    if c.type == kind then
      return c
    end
  end
  return { status = "Unknown", message = "" }
end

local function is(kind)
  return condition(kind).status == "True"
end

local function says(health, kind)
  return { status = health, message = condition(kind).message }
end

-- Until the manager has looked, the conditions are those of what was there before.
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Drover's manager has not looked at this yet" }
end
-- Suspended comes first: a pool that is paused and unfinished is Stalled as well.
if is("Suspended") then
  return says("Suspended", "Suspended")
end
if is("Stalled") then
  return says("Degraded", "Stalled")
end
if is("Ready") then
  return says("Healthy", "Ready")
end
-- More machines are unhealthy than are repaired, or nothing is heard of any: a person has to see to it.
if is("RepairFrozen") then
  return says("Degraded", "RepairFrozen")
end
return says("Progressing", "Ready")
