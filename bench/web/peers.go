package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
)

func serveHuma(context.Context, *harness.Work) (string, error) {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("documents", "1.0.0")
	config.CreateHooks = nil // they add a link to the schema to every answer
	huma.Register(humago.New(mux, config), huma.Operation{
		OperationID: "post-document", Method: http.MethodPost, Path: "/users/{id}/documents", DefaultStatus: http.StatusCreated,
	}, echoed)
	return listen(mux)
}

func serveChi(context.Context, *harness.Work) (string, error) {
	router := chi.NewRouter()
	router.Post("/users/{id}/documents", func(w http.ResponseWriter, r *http.Request) { post(w, r, chi.URLParam(r, "id")) })
	return listen(router)
}

func serveGin(context.Context, *harness.Work) (string, error) {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.POST("/users/:id/documents", func(c *gin.Context) {
		var user struct {
			ID int64 `uri:"id" binding:"gte=1"`
		}
		var d Checked
		if err := c.ShouldBindUri(&user); err != nil {
			c.String(http.StatusBadRequest, err.Error())
			return
		}
		if err := c.ShouldBindJSON(&d); err != nil {
			c.String(http.StatusBadRequest, err.Error())
			return
		}
		c.JSON(http.StatusCreated, document.Document(d))
	})
	return listen(engine)
}

func serveEcho(context.Context, *harness.Work) (string, error) {
	router := echo.New()
	router.POST("/users/:id/documents", func(c echo.Context) error {
		var d document.Document
		err := c.Bind(&d)
		if err == nil {
			err = check(c.Param("id"), &d)
		}
		if err != nil {
			return c.String(http.StatusBadRequest, err.Error())
		}
		return c.JSON(http.StatusCreated, d)
	})
	return listen(router)
}
