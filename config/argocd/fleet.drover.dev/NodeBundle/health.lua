-- A NodeBundle says which artifacts a version is made of. Nothing becomes of it, and so nothing can go wrong with it.
if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "It is being deleted" }
end
local architectures = {}
for _, artifact in ipairs(obj.spec.artifacts) do
  table.insert(architectures, artifact.architecture)
end
return { status = "Healthy", message = obj.spec.kubernetesVersion .. " for " .. table.concat(architectures, ", ") }
