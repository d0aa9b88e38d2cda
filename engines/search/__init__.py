"""search: any word of any field, best hits first. The class of Amazon OpenSearch."""
