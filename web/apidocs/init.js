// Starts Swagger UI on the page. It is a file of its own because the page's
// Content-Security-Policy allows no script inside the HTML.
window.addEventListener("load", () => {
  window.ui = SwaggerUIBundle({
    url: "../openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    validatorUrl: null, // the validator is a public web site; stay offline
  });
});
