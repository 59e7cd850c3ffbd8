package known

const (
	redisSupported = "host port password username url db ssl ssl_ca_certs ssl_cert_reqs startup_nodes sentinel_nodes service_name sentinel_password sentinel_username namespace"
	// cacheParamsSupported: the cache has a name of its own for startup_nodes.
	cacheParamsSupported = redisSupported + " redis_startup_nodes"

	// CertificateChecks are the values of ssl_cert_reqs. To a client, optional is the same as required.
	CertificateChecks = "required optional none"
)

// redisKeys are what LiteLLM 1.106 (_redis.py, caching/redis_cache.py) and redis-py's clients take besides.
const redisKeys = `
: address_remap cluster_error_retry_attempts decode_responses driver_info dynamic_startup_nodes encoding encoding_errors event_dispatcher
  health_check_interval legacy_responses lib_name lib_version load_balancing_strategy maint_notifications_config max_connections policy_resolver
  protocol read_from_replicas redis_flush_size reinitialize_steps require_full_coverage single_connection_client socket_keepalive
  socket_keepalive_options socket_read_size
Redis has 100 ms to answer, and nothing is sent twice: retry retry_on_error retry_on_timeout socket_connect_timeout socket_timeout
its connections are called nestor: client_name
nothing of Redis is cached here: cache cache_config
the path of a socket is written as url, unix:///path: unix_socket_path
Nestor logs in to Redis with username and password only: aws_iam_auth aws_iam_cache_name aws_iam_region aws_iam_serverless aws_iam_user_name
  azure_client_id azure_client_secret azure_redis_ad_token azure_tenant_id credential_provider gcp_service_account redis_connect_func
authorities for Redis are read from ssl_ca_certs only: gcp_ssl_ca_certs ssl_ca_data ssl_ca_path
no certificate is shown to Redis: ssl_certfile ssl_keyfile ssl_password
a certificate must be for the host's name unless ssl_cert_reqs is none: ssl_check_hostname
TLS to Redis is 1.2 or later, with Go's ciphers and checks: ssl_ciphers ssl_exclude_verify_flags ssl_include_verify_flags ssl_min_version
  ssl_ocsp_context ssl_ocsp_expected_cert ssl_validate_ocsp ssl_validate_ocsp_stapled
`

// cacheParamsKeys are what LiteLLM's cache takes besides. That answers are not cached is said about cache_params itself.
const cacheParamsKeys = redisKeys + `
: azure_account_url azure_blob_container default_in_memory_ttl default_in_redis_ttl default_redis_ttl disk_cache_dir gcs_bucket_name gcs_path
  gcs_path_service_account max_messages mode qdrant_api_base qdrant_api_key qdrant_collection_name qdrant_quantization_config
  qdrant_semantic_cache_embedding_model qdrant_semantic_cache_vector_size redis_semantic_cache_embedding_model redis_semantic_cache_index_name
  s3_api_version s3_aws_access_key_id s3_aws_secret_access_key s3_aws_session_token s3_bucket_name s3_config s3_endpoint_url s3_path
  s3_region_name s3_use_ssl s3_verify semantic_cache_embedding_max_input_tokens semantic_cache_embedding_timeout semantic_cache_scope
  similarity_threshold supported_call_types ttl type valkey_semantic_cache_embedding_model valkey_semantic_cache_index_name
`
