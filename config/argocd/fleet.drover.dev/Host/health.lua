-- How a Host is, from its condition Ready: it is free and fit, or serves a machine.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Drover's manager has not looked at this yet" }
end

local ready = { status = "Unknown", message = "" }
for _, c in ipairs(status.conditions or {}) do
  if c.type == "Ready" then
    ready = c
  end
end

if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
-- What somebody kept back on purpose, and what is on its way. All else needs somebody to look at the server.
local health = { Unschedulable = "Suspended", Quarantined = "Suspended", Cleaning = "Progressing" }
if ready.status == "Unknown" then
  return { status = "Progressing", message = ready.message }
end
return { status = health[ready.reason] or "Degraded", message = ready.message }
