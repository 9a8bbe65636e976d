<?php
/**
 * Plugin Name: Sampan
 * Description: What WordPress should not try where nothing but files is granted to it.
 */

// The site may not send requests: do not wait for them.
add_filter( 'pre_http_request', fn() => new WP_Error( 'http_request_not_executed', 'This site is granted no outbound HTTP.' ) );
// wp_mail() needs a mail program.
add_filter( 'pre_wp_mail', '__return_false' );
// Nobody needs to confirm an address that gets no mail.
add_filter( 'admin_email_check_interval', '__return_zero' );
