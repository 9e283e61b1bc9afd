"""ModuleResolver: from a handle to a HubModule artifact."""
