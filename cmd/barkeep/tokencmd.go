package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/series"
)

func (a *app) tokenCommand() *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "Make, list or revoke tokens of the API"}
	var name, role string
	var expires time.Duration
	create := &cobra.Command{
		Use:   "create --name N --role R",
		Short: "Make a token and print it, this once",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := json.Marshal(map[string]any{"name": name, "role": role, "expires_in_hours": expires.Hours()})
			if err != nil {
				return err
			}
			var v struct {
				api.TokenInfo
				Token string `json:"token"`
			}
			if err := a.control(c, http.MethodPost, "/v1/tokens", body, &v); err != nil {
				return err
			}
			if a.cfg.Output == "json" {
				return a.printJSON(v)
			}
			a.note("token %s for %s, role %s; it is not shown again\n", v.ID, v.Name, v.Role)
			a.printf("%s\n", v.Token)
			return nil
		},
	}
	create.Flags().StringVar(&name, "name", "", "what the token is for")
	create.Flags().StringVar(&role, "role", "reader", "reader, operator or admin")
	create.Flags().DurationVar(&expires, "expires", 0, "how long it is valid, such as 720h (default: for ever)")
	_ = create.MarkFlagRequired("name")
	list := &cobra.Command{
		Use:   "list",
		Short: "List the tokens, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var v struct {
				Tokens []api.TokenInfo `json:"tokens"`
			}
			if err := a.control(c, http.MethodGet, "/v1/tokens", nil, &v); err != nil {
				return err
			}
			if a.cfg.Output == "json" {
				return a.printJSON(v)
			}
			when := func(t series.Time) string {
				if t == 0 {
					return "-"
				}
				return t.String()
			}
			t := newTable(a, "id", "name", "role", "created", "expires", "revoked")
			for _, x := range v.Tokens {
				t.row(x.ID, x.Name, x.Role.String(), x.Created.String(), when(x.Expires), when(x.Revoked))
			}
			return t.flush()
		},
	}
	revoke := &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a token",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var v api.TokenInfo
			if err := a.control(c, http.MethodDelete, "/v1/tokens/"+args[0], nil, &v); err != nil {
				return err
			}
			if a.cfg.Output == "json" {
				return a.printJSON(v)
			}
			a.printf("token %s (%s) is revoked\n", v.ID, v.Name)
			return nil
		},
	}
	c.AddCommand(create, list, revoke)
	return c
}

// control sends a request that changes something and decodes its answer.
func (a *app) control(c *cobra.Command, method, path string, body []byte, to any) error {
	return a.controlWith(c, method, path, nil, "application/json", body, to)
}

// controlWith is control with parameters and a body of another type.
func (a *app) controlWith(c *cobra.Command, method, path string, q url.Values, contentType string, body []byte, to any) (err error) {
	cl, err := a.connectToChange()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.close()) }()
	resp, err := cl.do(c.Context(), method, path, q, contentType, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close() // it was only read
	return json.NewDecoder(resp.Body).Decode(to)
}
