// The host calls that this program uses, of the some fifty that there are.

@external('easegress', 'host_req_get_header')
export declare function reqGetHeader(name: ArrayBuffer): usize
@external('easegress', 'host_resp_set_body')
export declare function respSetBody(body: ArrayBuffer): void
@external('easegress', 'host_cluster_get_string')
export declare function clusterGetString(key: ArrayBuffer): usize
@external('easegress', 'host_cluster_put_string')
export declare function clusterPutString(key: ArrayBuffer, value: ArrayBuffer): void
@external('easegress', 'host_cluster_get_integer')
export declare function clusterGetInteger(key: ArrayBuffer): i64
@external('easegress', 'host_cluster_add_integer')
export declare function clusterAddInteger(key: ArrayBuffer, more: i64): i64
@external('easegress', 'host_get_unix_time_in_ms')
export declare function getUnixTimeInMs(): i64
@external('easegress', 'host_rand')
export declare function rand(): f64
