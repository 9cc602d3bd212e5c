"""REST: messages as JSON, answers and problems, the OpenAPI description."""
